"""OpenSSL called directly as a C library, which is installed wherever Python is; its command line may not be."""

import ctypes
from ctypes.util import find_library

ED25519 = 1087  # NID_ED25519


def verifies(public: bytes, signed: bytes, signature: bytes) -> bool:
    """Check an Ed25519 `signature` of `signed` against the raw 32-byte `public` key (RFC 8032)."""
    crypto = ctypes.CDLL(find_library("crypto") or "libcrypto.so.3")
    crypto.EVP_PKEY_new_raw_public_key.restype = crypto.EVP_MD_CTX_new.restype = ctypes.c_void_p
    key = ctypes.c_void_p(crypto.EVP_PKEY_new_raw_public_key(ED25519, None, public, ctypes.c_size_t(len(public))))
    context = ctypes.c_void_p(crypto.EVP_MD_CTX_new())
    try:
        assert crypto.EVP_DigestVerifyInit(context, None, None, None, key) == 1
        size = ctypes.c_size_t
        return bool(crypto.EVP_DigestVerify(context, signature, size(len(signature)), signed, size(len(signed))) == 1)
    finally:
        crypto.EVP_MD_CTX_free(context)
        crypto.EVP_PKEY_free(key)
