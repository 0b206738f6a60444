from django.urls import path, re_path

from loans import views

app_name = "loans"
urlpatterns = [
    path("", views.Mine.as_view(), name="mine"),
    path("borrow/", views.Borrow.as_view(), name="borrow"),
    re_path(r"^(?P<pk>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/back/$", views.bring_back, name="back"),
    path("<uuid:pk>/extend/", views.extend, name="extend"),
    path("<uuid:pk>/slip.txt", views.slip, name="slip"),
]
