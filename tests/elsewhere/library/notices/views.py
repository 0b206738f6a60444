from django.contrib.auth.decorators import login_required
from django.http import JsonResponse


@login_required
def unread(request):
    return JsonResponse({"unread": request.user.notices.filter(read=False).count()})
