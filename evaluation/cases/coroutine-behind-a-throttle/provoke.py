import asyncio

from courier.channels import senders
from courier.messages import Message
from courier.worker import Worker


class Carrier:
    def mail(self, to: str, text: str) -> dict[str, str]:
        return {"status": "sent"}

    async def text(self, to: str, text: str) -> dict[str, str]:
        return {"status": "sent"}

    async def post(self, to: str, text: str) -> dict[str, str]:
        return {"status": "sent"}


worker = Worker(senders(Carrier()))
asyncio.run(
    worker.run(
        [
            Message("n-8841", "mail", "ops@shop.example", "Order 1187 was paid"),
            Message("n-8842", "hook", "https://hooks.shop.example/orders", "Order 1187 was paid"),
        ]
    )
)
