from ledger.book import Book
from ledger.settle import settle

book = Book()
settle(book, "MP-20771", 8450, {"seller": 90, "fees": 10})
settle(book, "MP-20772", -1285, {"seller-a": 1, "seller-b": 1})
