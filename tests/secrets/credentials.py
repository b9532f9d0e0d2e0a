"""One credential of each kind, in the format that the application generates."""

TOKEN = "JDO-iDzIkCnLyfe6Be9HxO0v2328dZEJ5Z9i5tkWxh4"
KEY = "STUDIO-SVW3Z-ZNRMR-66XKD-57KXE-DJFCR"
CODE = "6HMJ-5WSM-FKWH"
