"""The report of a Sunday, on which nobody asked for invoices."""

from timings.report import report

report(
    ["/health", "/orders", "/invoices"],
    ["GET /health 200 1", "GET /orders 200 31", "GET /orders 200 44"],
    {"/orders": 300, "/invoices": 500},
)
