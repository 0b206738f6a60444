"""What the stage answers, to those whom it knows and to all others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chassis.identity.sessions import ReadOnlySessionError
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.mixins import LoginRequiredMixin, PermissionRequiredMixin
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.urls import path
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from rest_framework.permissions import DjangoModelPermissionsOrAnonReadOnly, IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

CURTAIN = "/behind"


def curtain(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A middleware of the project's own, which wants to know who it is."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.path == CURTAIN and not request.user.is_authenticated:
            return HttpResponse(status=403)
        return get_response(request)

    return middleware


def described(request: Any) -> dict[str, Any]:
    user = request.user
    return {
        "id": user.pk,
        "name": user.get_username(),
        "email": user.email,
        "staff": user.is_staff,
        "superuser": user.is_superuser,
        "may": sorted(user.get_all_permissions()),
        "groups": list(user.groups.values_list("name", flat=True)),
        "seat": request.session.get("seat"),
    }


@login_required
def me(request: HttpRequest) -> HttpResponse:
    return JsonResponse(described(request))


async def me_async(request: HttpRequest) -> HttpResponse:
    if not request.user.is_authenticated:
        return HttpResponse(status=302, headers={"Location": "/login"})
    user = await request.auser()
    return JsonResponse({**described(request), "again": user.pk})


@permission_required("auth.change_user", raise_exception=True)
def change(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=204)


class Cast(LoginRequiredMixin, PermissionRequiredMixin, View):
    permission_required = "auth.view_user"

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=204)


def everybody(request: HttpRequest) -> HttpResponse:
    return HttpResponse("welcome")


def behind(request: HttpRequest) -> HttpResponse:
    return HttpResponse("behind the curtain")


def form(request: HttpRequest) -> HttpResponse:
    """A form's token; its cookie comes with it."""
    return HttpResponse(get_token(request))


def post(request: HttpRequest) -> HttpResponse:
    """A form, which Django's CSRF middleware guards."""
    return JsonResponse({"name": request.user.get_username()}, status=201)


@csrf_exempt
def write(request: HttpRequest) -> HttpResponse:
    """Tries what cannot be done here."""
    attempts: dict[str, Callable[[], Any]] = {
        "session": lambda: request.session.update({"seat": 8}),
        "flush": request.session.flush,
        "save": lambda: request.user.save(),  # noqa: PLW0108  nothing is looked up before it is tried
        "relation": lambda: request.user.auth_token,
    }
    return JsonResponse({name: refusal(attempt) for name, attempt in attempts.items()})


def refusal(attempt: Callable[[], Any]) -> str:
    try:
        attempt()
    except (ReadOnlySessionError, AttributeError, NotImplementedError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


class Api(APIView):
    def get(self, request: Request) -> Response:
        user = request.user
        return Response({"id": user.pk, "name": user.get_username()})

    def post(self, request: Request) -> Response:
        return Response({"id": request.user.pk}, status=201)


class Staff(Api):
    permission_classes = (IsAdminUser,)


class Users(Api):
    """By the permissions of a model, which only has a name here."""

    permission_classes = (DjangoModelPermissionsOrAnonReadOnly,)

    @property
    def queryset(self) -> Any:
        from django.contrib.auth.models import User

        return User.objects.none()


urlpatterns = [
    path("me", me),
    path("async/me", me_async),
    path("change", change),
    path("cast", Cast.as_view()),
    path("everybody", everybody),
    path("behind", behind),
    path("form", form),
    path("post", post),
    path("write", write),
    path("api", Api.as_view()),
    path("api/staff", Staff.as_view()),
    path("api/users", Users.as_view()),
]
