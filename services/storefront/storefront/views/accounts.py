"""Registering, logging in and out."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import rotate_token
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from storefront.failures import LoggedOutError, PassingError, RefusedError
from storefront.forms import LoginForm, RegistrationForm
from storefront.pages import back, go, logged, page, visitor_of

Told = LoginForm | RegistrationForm


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def register(request: HttpRequest) -> HttpResponse:
    """Opens an account, and logs it in."""
    form = RegistrationForm(request.POST or None)
    return _entered(request, "register", form, lambda: visitor_of(request).api.register(**form.cleaned_data))


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def log_in(request: HttpRequest) -> HttpResponse:
    form = LoginForm(request.POST or None)
    return _entered(request, "log_in", form, lambda: visitor_of(request).api.log_in(**form.cleaned_data))


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    visitor_of(request).leave()
    rotate_token(request)
    messages.success(request, "You are logged out.")
    return go(request, "browse")


def _entered(request: HttpRequest, template: str, form: Told, enter: Callable[[], None]) -> HttpResponse:
    """The way back once ``enter`` has succeeded; the form again, with what is to be changed, otherwise."""
    status = 200
    if form.is_bound and form.is_valid():
        try:
            enter()
        except LoggedOutError:
            form.add_error(None, "No account has this email and this password.")
            status = 401
        except RefusedError as error:
            form.show(error.fields, error.sentence)
            status = error.status
        except PassingError as error:
            form.add_error(None, error.sentence)
            status = error.status
        else:
            rotate_token(request)
            messages.success(request, f"Welcome, {visitor_of(request).name}.")
            return HttpResponseRedirect(back(request))
        # Half an entrance is none: tokens whose owner could not be asked for are not kept.
        visitor_of(request).api.account = None
    elif form.is_bound:
        status = 400
    response: HttpResponse = page(request, template, {"form": form, "next": back(request)}, status=status)
    return logged(response)
