"""Views that answer a request once, however often it comes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from chassis.rest.errors import Conflict
from chassis.rest.idempotency import Idempotent
from django.db import transaction
from django.urls import path
from rest_framework.authentication import BaseAuthentication
from rest_framework.parsers import FormParser, JSONParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from library.models import Visit


@dataclass
class Pause:
    """Where a test holds a request: between its write and its answer."""

    wanted: bool = False
    reached: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> None:
        if self.wanted:
            self.wanted = False
            self.reached.set()
            self.over.wait(20)


pause = Pause()


class VisitsApi(Idempotent, APIView):
    """Notes a visit, then does what the body says."""

    permission_classes = (AllowAny,)
    authentication_classes: tuple[type[BaseAuthentication], ...] = ()
    parser_classes = (JSONParser, FormParser)
    idempotency_model = "library.Answer"
    idempotent_methods = ("POST", "PATCH")

    def post(self, request: Request) -> Response:
        visit = Visit.objects.create(note=request.data.get("note", ""))
        pause()
        match request.data.get("then"):
            case "conflict":
                raise Conflict("Not now.")
            case "crash":
                raise ZeroDivisionError
            case "undo":
                transaction.set_rollback(True)
            case int() as status:
                return Response({"detail": "so be it"}, status=status)
        headers = {"Location": f"/visits/{visit.pk}"}
        return Response({"number": visit.pk, "note": visit.note}, status=201, headers=headers)

    def patch(self, request: Request) -> Response:
        return Response({"count": Visit.objects.count()})

    def get(self, request: Request) -> Response:
        return Response({"count": Visit.objects.count()})


class FreeVisitsApi(VisitsApi):
    idempotency_required = False


def view(cls: type[APIView]) -> Any:
    return cls.as_view()


urlpatterns = [path("visits", view(VisitsApi)), path("free", view(FreeVisitsApi))]
