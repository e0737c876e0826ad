"""Redeems coupons."""
