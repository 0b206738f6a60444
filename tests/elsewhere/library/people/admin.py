from django.contrib import admin

from people.models import Reader

admin.site.register(Reader)
