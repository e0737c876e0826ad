from board.views import board

board(
    [
        {"key": "PAY-31", "fields": {"title": "Refund fails", "due": "2026-06-12", "points": 3}},
        {"key": "PAY-32", "fields": {"title": "Receipt in Polish", "due": None, "points": 1}},
        {"key": "PAY-35", "fields": {"title": "Retry card", "due": "2026-06-09"}},
    ],
    {"sort": "due"},
)
