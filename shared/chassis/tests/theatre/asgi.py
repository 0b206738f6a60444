"""The stage under ASGI; ``python -m theatre.asgi`` serves it at ``PORT``."""

from __future__ import annotations

import os

import uvicorn
from django.core.asgi import get_asgi_application

application = get_asgi_application()

if __name__ == "__main__":
    uvicorn.run(application, host="127.0.0.1", port=int(os.environ["PORT"]), log_config=None)
