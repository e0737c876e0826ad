import pytest

from stocktake.checksums import checksum
from stocktake.records import BadRecord, decode, encode
from stocktake.sheets import sheet


@pytest.mark.parametrize("quantity", [65_536, 96_000, 2**31, 2**32 - 1])
def test_large_quantities_come_back(quantity: int) -> None:
    assert decode(encode(30121, quantity)) == (30121, quantity)


@pytest.mark.parametrize("quantity", [65_533, 65_534, 65_535])
def test_quantities_at_the_edge_come_back(quantity: int) -> None:
    assert decode(encode(30121, quantity)) == (30121, quantity)


def test_a_large_quantity_stands_behind_the_mark() -> None:
    record = encode(1, 70_000)
    assert record[:-1] == bytes.fromhex("00000001 ffff 00011170")
    assert record[-1] == checksum(record[:-1])


def test_small_quantities_stay_short() -> None:
    assert len(encode(1, 65_534)) == 7
    assert encode(1, 0)[:-1] == bytes.fromhex("00000001 0000")


def test_a_sheet_may_mix_both_forms() -> None:
    data = sheet([{"sku": 2, "quantity": 70_000}, {"sku": 1, "quantity": 3}])
    assert data == b"STK2" + b"\x07" + encode(1, 3) + b"\x0b" + encode(2, 70_000)


def test_a_quantity_below_zero_stays_refused() -> None:
    with pytest.raises(ValueError, match="below zero"):
        encode(1, -5)


def test_a_long_record_that_is_cut_short_is_refused() -> None:
    body = bytes.fromhex("00000001 ffff 0001")
    with pytest.raises(BadRecord, match="short"):
        decode(body + bytes([checksum(body)]))
