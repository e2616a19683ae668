"""What `vitconv doctor` looks at, one module a part of the machine; examination.py puts it together."""
