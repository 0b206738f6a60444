from __future__ import annotations

from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.urls import include, path, re_path
from rest_framework.routers import SimpleRouter

from inspected.billing import views as billing
from inspected.lending import views as lending

router = SimpleRouter(trailing_slash=False)
router.register("invoices", billing.Invoices)

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/", include(router.urls)),
    path("api/invoices/<int:pk>/replace", billing.ReplaceInvoice.as_view()),
    path("api/invoices/<int:pk>/seen", billing.Reading.as_view()),
    path("api/invoices/<int:pk>/split", billing.split),
    path("api/invoices/<int:pk>/mail", billing.mail),
    path("api/dunning/", billing.DunningList.as_view()),
    path("api/dunning/<slug:name>/kept", lending.keep_dunning),
    path("api/dunning/<path:rest>", billing.Dunning.as_view()),
    path("api/state", billing.State.as_view()),
    path("loans/<int:pk>/back", lending.give_back),
    re_path(r"^loans/(?P<pk>\d+)/look$", lending.look),
    path("loans/<int:pk>", lending.LoanPage.as_view()),
    path("loans", lending.lend),
    path("owing", lending.owing),
    path("owed", lending.owed),
    path("due", lending.due),
    path("known", lending.known),
    path("kept", lending.keep),
    path("parcels", lending.parcel),
    re_path(r"^loans/(?P<pk>\d+)/(?P<mark>good|bad)$", lending.mark),
]
urlpatterns += i18n_patterns(
    path("scans/<int:pk>/close", billing.close_scan),
    path("scans/<int:pk>/open/", billing.open_scan),
    prefix_default_language=False,
)
