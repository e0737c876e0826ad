from downloads.serve import serve

serve(b"%PDF-1.7 " + b"." * 4000 + b"startxref 3811 %%EOF", {"host": "files.shop.example", "range": "bytes=-500"})
