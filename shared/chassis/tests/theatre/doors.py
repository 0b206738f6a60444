"""What the house answers: who comes in, and who goes."""

from __future__ import annotations

import json

from django.contrib import auth
from django.contrib.auth.models import Group, Permission, User
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from rest_framework.authtoken.models import Token


@csrf_exempt
def people(request: HttpRequest) -> HttpResponse:
    """Makes a user; answers its number and its token."""
    told = json.loads(request.body)
    permissions, groups = told.pop("permissions", ()), told.pop("groups", ())
    user = User.objects.create_user(**told)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    user.groups.set([Group.objects.get_or_create(name=name)[0] for name in groups])
    return JsonResponse({"id": user.pk, "token": Token.objects.create(user=user).key})


def form(request: HttpRequest) -> HttpResponse:
    """A form's token; its cookie comes with it."""
    return HttpResponse(get_token(request))


def guarded(request: HttpRequest) -> HttpResponse:
    """Takes a form, by whichever side it was given."""
    return HttpResponse(status=204)


@csrf_exempt
def login(request: HttpRequest) -> HttpResponse:
    told = json.loads(request.body)
    user = auth.authenticate(request, **told)
    if user is None:
        return HttpResponse(status=403)
    auth.login(request, user)
    request.session["seat"] = {"row": 7, "for": told["username"]}
    return HttpResponse(status=204)


@csrf_exempt
def logout(request: HttpRequest) -> HttpResponse:
    auth.logout(request)
    return HttpResponse(status=204)


@csrf_exempt
def password(request: HttpRequest) -> HttpResponse:
    """A new password; this session stays."""
    request.user.set_password("another one")
    request.user.save()
    auth.update_session_auth_hash(request, request.user)
    return HttpResponse(status=204)


urlpatterns = [
    path("people", people),
    path("form", form),
    path("guarded", guarded),
    path("login", login),
    path("logout", logout),
    path("password", password),
]
