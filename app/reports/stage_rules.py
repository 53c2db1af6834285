"""A storefront's stages: which events mean which place on the customer journey, and in what order."""

from typing import Annotated, Self

from fastapi import APIRouter, Depends
from pydantic import Field, model_validator
from sqlalchemy.ext.asyncio import AsyncEngine

from app.access import StorefrontOfKey
from app.domain.funnel import Condition
from app.domain.stages import Stage, StageRule, stage_alternatives
from app.domain.storefront import KeyDirectory, Storefront
from app.reports.conditions import CONDITIONS_MAX, ConditionParams, Label, Name, Params
from app.storage.storefronts import save_stages

STAGES_MAX = 20
RULES_MAX = 50


class StageRuleParams(Params):
    """Events of this name mean the stage, if all conditions hold and, with `after`, only once the same person
    reached that stage; an order that is reported again does not count again."""

    event: Name
    where: Annotated[list[ConditionParams], Field(max_length=CONDITIONS_MAX, default_factory=list)]
    after: Label | None = None


class StageParams(Params):
    name: Label
    rules: Annotated[list[StageRuleParams], Field(min_length=1, max_length=RULES_MAX)]


class StagesBody(Params):
    """In the order of the journey."""

    stages: Annotated[list[StageParams], Field(min_length=1, max_length=STAGES_MAX)]

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        stages = tuple(map(_stage, self.stages))
        if len({stage.name for stage in stages}) < len(stages):
            raise ValueError("every stage needs a name of its own")
        for stage in stages:
            try:
                stage_alternatives(stages, stage.name)
            except KeyError as error:
                raise ValueError(f"`after` names the stage {error}, which is not in the list") from error
        return self


def stage_rules_router(
    engine: AsyncEngine, keys: KeyDirectory, reader: StorefrontOfKey, admin: StorefrontOfKey
) -> APIRouter:
    router = APIRouter(prefix="/v1/stages", tags=["set-up"])

    @router.get("", summary="The storefront's stages")
    async def get_stages(storefront: Annotated[Storefront, Depends(reader)]) -> StagesBody:
        return StagesBody(stages=[_params(stage) for stage in storefront.stages])

    @router.put("", summary="Replace the storefront's stages; applies to history too (admin key)")
    async def put_stages(body: StagesBody, storefront: Annotated[Storefront, Depends(admin)]) -> StagesBody:
        stages = [stage.model_dump(mode="json") for stage in body.stages]
        await save_stages(engine, storefront.storefront_id, stages)
        keys.forget()
        return body

    @router.delete("", summary="Back to the default stages (admin key)", status_code=204)
    async def delete_stages(storefront: Annotated[Storefront, Depends(admin)]) -> None:
        await save_stages(engine, storefront.storefront_id, None)
        keys.forget()

    return router


def _stage(params: StageParams) -> Stage:
    rules = (
        StageRule(rule.event, tuple(condition.condition() for condition in rule.where), rule.after)
        for rule in params.rules
    )
    return Stage(params.name, tuple(rules))


def _params(stage: Stage) -> StageParams:
    return StageParams.model_validate(
        {
            "name": stage.name,
            "rules": [
                {
                    "event": rule.event_name,
                    "where": [_condition(condition) for condition in rule.where],
                    "after": rule.after,
                }
                for rule in stage.rules
            ],
        }
    )


def _condition(condition: Condition) -> dict[str, object]:
    subject = "dimension" if condition.is_dimension else "property"
    return {subject: condition.property, "op": condition.op, "value": _json(condition.value)}


def _json(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
