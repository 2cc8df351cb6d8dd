"""Databases made for the tests: five real applications, and every case of what SQLite files contain."""
