from orders.order import Line, Order, ship_part
from orders.refunds import refund
from orders.stock import Stock

stock = Stock(free={"lamp-a": 40, "bulb-e27": 200})
order = Order("W-55102", [Line("lamp-a", 2), Line("bulb-e27", 6)], paid=11340)
for line in order.lines:
    stock.hold(line.sku, line.quantity)
ship_part(order, stock, "bulb-e27", 6)
refund(order, stock)
