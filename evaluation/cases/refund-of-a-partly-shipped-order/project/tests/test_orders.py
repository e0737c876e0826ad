import pytest

from orders.order import Line, Order, ship, ship_part
from orders.refunds import refund
from orders.states import IllegalTransition, advance
from orders.stock import Stock


@pytest.fixture
def stock() -> Stock:
    return Stock(free={"cup": 10, "pot": 5})


def paid(stock: Stock) -> Order:
    order = Order("R-1001", [Line("cup", 3), Line("pot", 1)], paid=4200)
    for line in order.lines:
        stock.hold(line.sku, line.quantity)
    return order


def test_a_paid_order_holds_its_stock(stock: Stock) -> None:
    paid(stock)
    assert stock.free == {"cup": 7, "pot": 4}
    assert stock.held == {"cup": 3, "pot": 1}


def test_an_order_may_leave_in_parts(stock: Stock) -> None:
    order = paid(stock)
    ship_part(order, stock, "cup", 2)
    assert order.state == "partly_shipped"
    ship(order, stock)
    assert order.state == "shipped"
    assert stock.held == {"cup": 0, "pot": 0}


def test_a_paid_order_is_refunded_and_frees_its_stock(stock: Stock) -> None:
    order = paid(stock)
    assert refund(order, stock) == 4200
    assert order.state == "refunded"
    assert stock.free == {"cup": 10, "pot": 5}


def test_a_shipped_order_is_refunded(stock: Stock) -> None:
    order = paid(stock)
    ship(order, stock)
    assert refund(order, stock) == 4200
    assert order.state == "refunded"


def test_a_refunded_order_cannot_be_shipped(stock: Stock) -> None:
    order = paid(stock)
    refund(order, stock)
    with pytest.raises(IllegalTransition, match="refunded"):
        ship(order, stock)


def test_a_cancelled_order_cannot_be_refunded() -> None:
    with pytest.raises(IllegalTransition, match="does not take 'refund'"):
        advance(advance("paid", "cancel"), "refund")
