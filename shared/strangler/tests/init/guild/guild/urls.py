from __future__ import annotations

from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import TemplateView
from fairs import views as fairs
from rest_framework.routers import SimpleRouter
from works import views as works

router = SimpleRouter()
router.register("works", works.Works)

urlpatterns = [
    path("backoffice/", admin.site.urls),
    path("api/", include((router.urls, "works"), namespace="v1")),
    path("about/", TemplateView.as_view(template_name="about.html")),
    path("stamps/<int:pk>", include("stamps.urls")),
    re_path(r"^fairs/(?P<year>[0-9]{4})/(?P<slug>[\w-]+)/?$", fairs.fair),
    path("fairs/<uuid:pk>/enter", fairs.enter),
    path("files/<path:name>", works.Files.as_view()),
    path("admin/works/", works.overview),
    *i18n_patterns(path("members/<uuid:pk>/", include("members.urls")), prefix_default_language=False),
    path("<slug:page>/<slug:part>", fairs.page),
]
