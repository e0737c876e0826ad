from billing.invoices import upcoming

upcoming({"plan": "monthly", "started": "2026-01-31"}, 3)
