from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from notices.views import unread

urlpatterns = [
    path("staff/", admin.site.urls),
    path("notices/unread.json", unread, name="unread"),
]

urlpatterns += i18n_patterns(
    path("login/", LoginView.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("books/", include("books.urls")),
    path("desk/", include("loans.urls")),
)
