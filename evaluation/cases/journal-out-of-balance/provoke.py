"""The journal of a kiosk."""

from journal.statement import statement

statement(
    '[[{"account": "cash", "amount": 0.3}, {"account": "sales", "amount": -0.1},'
    ' {"account": "deposit", "amount": -0.2}]]'
)
