"""HTTP clients with an address of their own."""

import httpx
from fastapi import FastAPI


def create_client_at(app: FastAPI, host: str) -> httpx.AsyncClient:
    """A client at another address."""
    transport = httpx.ASGITransport(app, client=(host, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://licentia.test")
