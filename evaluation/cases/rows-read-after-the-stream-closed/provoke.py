from bankfeed.feed import balance

balance(
    "date,amount,text\n"
    "2026-04-01,1890.00,Payout 2026-03\n"
    "2026-04-02,-29.90,Terminal rental\n"
    "2026-04-02,-3.10,Fees\n"
)
