from django.db import models


class Branch(models.Model):
    code = models.SlugField(primary_key=True, max_length=8)
    name = models.CharField(max_length=80)

    class Meta:
        verbose_name_plural = "branches"

    def __str__(self):
        return self.name
