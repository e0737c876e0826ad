"""A small real web service: carts, prices, vouchers and payment, with bugs that real shops have had."""
