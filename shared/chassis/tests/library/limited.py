"""A view with a rate, in the one transaction of its request."""

from __future__ import annotations

from chassis.rest.throttles import ClientThrottle
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class Limited(APIView):
    """Answers GET, and has no other method: that is refused once it is counted, which rolls the transaction back."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = (ClientThrottle,)
    throttle_scope = "shelf"

    def get(self, request: Request) -> Response:
        return Response({})
