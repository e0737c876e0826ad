from contacts.book import Book

Book().load(
    "name,email,phone,address\n"
    "Marta Kowalska,marta@kowalska.example,+48 22 555 01,ul. Prosta 51\n"
    'Jean Petit,jean.petit@boite.example,,"8 rue du Port\n44000 Nantes"\n'
    "Li Wei,li@wei.example,+86 10 555\n"
)
