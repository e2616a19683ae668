"""A stand-in for an Android phone, as adb sees one. It is not a phone: see phone.py for what it can do."""
