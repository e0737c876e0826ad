from stocktake.sheets import sheet

sheet(
    [
        {"sku": 30118, "quantity": 420},
        {"sku": 30121, "quantity": 96000},
        {"sku": 30119, "quantity": 0},
    ]
)
