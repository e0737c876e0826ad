"""Splits payments between parties and books them."""
