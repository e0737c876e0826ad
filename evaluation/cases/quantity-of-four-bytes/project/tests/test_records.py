import pytest

from stocktake.checksums import checksum
from stocktake.records import BadRecord, decode, encode
from stocktake.sheets import sheet


def test_a_record_has_number_quantity_and_checksum() -> None:
    assert encode(4711, 12) == bytes.fromhex("00001267 000c") + bytes([checksum(bytes.fromhex("00001267000c"))])


@pytest.mark.parametrize("quantity", [0, 1, 255, 256, 40_000])
def test_what_is_written_is_read(quantity: int) -> None:
    assert decode(encode(99, quantity)) == (99, quantity)


def test_a_quantity_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="below zero"):
        encode(1, -1)


def test_the_long_form_of_newer_scanners_is_read() -> None:
    body = bytes.fromhex("00000001 ffff 00011170")
    assert decode(body + bytes([checksum(body)])) == (1, 70_000)


def test_a_wrong_checksum_is_refused() -> None:
    record = encode(1, 2)
    with pytest.raises(BadRecord, match="checksum"):
        decode(record[:-1] + bytes([record[-1] ^ 1]))


def test_a_sheet_is_its_records() -> None:
    lines = [{"sku": 2, "quantity": 5}, {"sku": 1, "quantity": 3}]
    one, two = encode(1, 3), encode(2, 5)
    assert sheet(lines) == b"STK2" + b"\x07" + one + b"\x07" + two
