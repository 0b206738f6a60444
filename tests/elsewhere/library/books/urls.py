from django.urls import path

from books import views

app_name = "books"
urlpatterns = [
    path("", views.TitleList.as_view(), name="list"),
    path("<uuid:pk>/", views.title, name="title"),
    path("copies/<uuid:pk>.json", views.copy, name="copy"),
]
