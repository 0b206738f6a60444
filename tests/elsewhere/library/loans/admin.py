from django.contrib import admin

from loans.models import Extension, Loan, Reason


class ExtensionInline(admin.TabularInline):
    model = Extension
    extra = 0


@admin.register(Loan)
class LoanAdmin(admin.ModelAdmin):
    list_display = ["slip", "reader", "due_on", "returned_at"]
    list_filter = ["branch"]
    search_fields = ["slip", "reader__card"]
    inlines = [ExtensionInline]


admin.site.register(Reason)
