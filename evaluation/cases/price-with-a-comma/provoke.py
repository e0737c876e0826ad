"""The nightly import of a supplier's list from Italy."""

from pricelist.reading import read

read("tavolo-80;1.234,50;20\nsedia-2;189,00;20\n", "Legno Vivo")
