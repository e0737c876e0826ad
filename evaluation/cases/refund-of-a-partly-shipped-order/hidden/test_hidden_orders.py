import pytest

from orders.order import Line, Order, ship, ship_part
from orders.refunds import refund
from orders.states import IllegalTransition, advance
from orders.stock import Stock


@pytest.fixture
def stock() -> Stock:
    return Stock(free={"cup": 10, "pot": 5})


def paid(stock: Stock) -> Order:
    order = Order("R-7", [Line("cup", 4), Line("pot", 2)], paid=9900)
    for line in order.lines:
        stock.hold(line.sku, line.quantity)
    return order


def test_a_partly_shipped_order_is_paid_back(stock: Stock) -> None:
    order = paid(stock)
    ship_part(order, stock, "cup", 4)
    assert refund(order, stock) == 9900
    assert order.state == "refunded"


def test_what_has_not_left_is_free_again(stock: Stock) -> None:
    order = paid(stock)
    ship_part(order, stock, "cup", 1)
    ship_part(order, stock, "cup", 2)
    refund(order, stock)
    assert stock.free == {"cup": 7, "pot": 5}
    assert stock.held == {"cup": 0, "pot": 0}


def test_nothing_more_is_shipped_after_the_refund(stock: Stock) -> None:
    order = paid(stock)
    ship_part(order, stock, "pot", 2)
    refund(order, stock)
    for again in (lambda: ship(order, stock), lambda: ship_part(order, stock, "cup", 1)):
        with pytest.raises(IllegalTransition):
            again()


def test_an_order_is_refunded_once(stock: Stock) -> None:
    order = paid(stock)
    ship_part(order, stock, "pot", 2)
    refund(order, stock)
    with pytest.raises(IllegalTransition):
        refund(order, stock)
    assert stock.free == {"cup": 10, "pot": 3}


def test_a_shipped_order_frees_nothing(stock: Stock) -> None:
    order = paid(stock)
    ship_part(order, stock, "cup", 1)
    ship(order, stock)
    refund(order, stock)
    assert stock.free == {"cup": 6, "pot": 3}
    assert stock.held == {"cup": 0, "pot": 0}


def test_a_paid_order_frees_all(stock: Stock) -> None:
    assert refund(paid(stock), stock) == 9900
    assert stock.free == {"cup": 10, "pot": 5}


@pytest.mark.parametrize("event", ["cancel", "deliver", "pay", ""])
def test_a_partly_shipped_order_takes_nothing_else(event: str) -> None:
    with pytest.raises(IllegalTransition):
        advance("partly_shipped", event)

