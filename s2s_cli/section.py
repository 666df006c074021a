"""The base class of the sections of a recipe, and the types of their values."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}([-_][A-Za-z0-9]+)*$")]
FilePath = Annotated[str, StringConstraints(min_length=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Size = Annotated[int, Field(ge=1)]
Width = Annotated[int, Field(ge=1, le=1 << 16)]
"""Size of a vector. The bound keeps a foreign model card from allocating all memory."""
Layers = Annotated[int, Field(ge=1, le=64)]


class Section(BaseModel):
    """A frozen group of keys: unknown keys are errors, docstrings are the documentation."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
        allow_inf_nan=False,
    )
