from __future__ import annotations

from django.http import HttpResponse
from django.views import View
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ModelViewSet

from works.models import Remark, Work


class WorkSerializer(ModelSerializer):
    class Meta:
        model = Work
        fields = ("id", "owner")


class Works(ModelViewSet):
    queryset = Work.objects.all()
    serializer_class = WorkSerializer
    http_method_names = ("get", "post", "delete", "head", "options")

    @action(detail=True, methods=["post"])
    def praise(self, request, pk=None):
        Remark.objects.create(about=self.get_object())
        return Response()


class Files(View):
    def get(self, request, name):
        return HttpResponse(name)


def overview(request):
    return HttpResponse(Work.objects.count())
