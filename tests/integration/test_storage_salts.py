"""One random salt a day for all processes, and none for days gone by."""

from datetime import UTC, date, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.storage.salts import DailySalts
from tests.fakes import FixedClock

MONDAY = date(2026, 3, 2)
TUESDAY = date(2026, 3, 3)


async def kept_days(engine: AsyncEngine) -> list[date]:
    async with engine.connect() as connection:
        return list((await connection.execute(text("SELECT day FROM cookieless_salt ORDER BY day"))).scalars())


async def test_processes_share_the_salt_of_the_first(engine: AsyncEngine, clock: FixedClock) -> None:
    first, second = DailySalts(engine, clock), DailySalts(engine, clock)
    await first.refresh()
    await second.refresh()

    assert len(first.of(MONDAY)) == 32
    assert second.of(MONDAY) == first.of(MONDAY)


async def test_a_process_that_could_not_ask_takes_over_what_the_others_use(
    engine: AsyncEngine, clock: FixedClock
) -> None:
    first, second = DailySalts(engine, clock), DailySalts(engine, clock)
    await first.refresh()
    made_alone = second.of(MONDAY)
    await second.refresh()

    assert made_alone != second.of(MONDAY)
    assert second.of(MONDAY) == first.of(MONDAY)


async def test_while_postgres_is_away_a_process_goes_on_with_its_own(engine: AsyncEngine, clock: FixedClock) -> None:
    salts = DailySalts(engine, clock)

    assert salts.of(MONDAY) == salts.of(MONDAY)
    assert salts.of(MONDAY) != salts.of(TUESDAY)


async def test_a_salt_is_agreed_on_before_its_day_begins(engine: AsyncEngine) -> None:
    clock = FixedClock(datetime(2026, 3, 2, 23, 55, tzinfo=UTC))
    first, second = DailySalts(engine, clock), DailySalts(engine, clock)
    await first.refresh()
    await second.refresh()

    assert await kept_days(engine) == [MONDAY, TUESDAY]
    assert second.of(TUESDAY) == first.of(TUESDAY)


async def test_a_salt_is_forgotten_soon_after_its_day(engine: AsyncEngine, clock: FixedClock) -> None:
    salts = DailySalts(engine, clock)
    await salts.refresh()
    of_monday = salts.of(MONDAY)

    clock.advance((12 * 60 + 11) * 60)
    await salts.refresh()

    assert await kept_days(engine) == [TUESDAY]
    assert salts.of(MONDAY) != of_monday


async def test_salts_are_in_no_write_ahead_log(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT relpersistence::text FROM pg_class WHERE relname = 'cookieless_salt'")
        )

    assert found.scalar() == "u"
