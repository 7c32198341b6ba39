"""The command line, put together. Everything heavy is imported by the command that needs it."""

import contextlib
import dataclasses
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from api import VERSION
from api.cli import command, files, mail, reports, restore, simulate

if TYPE_CHECKING:
    import asyncio

    import uvicorn

    from integrations.runtime.world import World
    from service.kernel.work import Work
    from service.registry import memorandum_log
    from service.rules import chain

commands = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)
log = typer.Typer(no_args_is_help=True, help="The chained log of each memorandum.")
commands.add_typer(log, name="log")
commands.add_typer(reports.report, name="report")
commands.add_typer(files.person, name="person")
commands.add_typer(mail.mail, name="mail")
commands.add_typer(restore.restore, name="restore")


def _tell_version(is_asked: bool) -> None:  # noqa: FBT001 - Typer calls it
    if is_asked:
        print(VERSION)
        raise typer.Exit


@commands.callback()
def _program(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Print the version, and end.")
    ] = False,
) -> None:
    """Schedule consultations between clinicians and mentors abroad."""


def main() -> None:
    """Run the command that was typed; an error that we foresee is printed as a sentence, never as a traceback."""
    try:
        commands()
    except Exception as error:
        from api.cli import complaints  # noqa: PLC0415 - it knows every error by its class

        complaint = complaints.told(error)
        if complaint is None:
            raise
        status, sentences = complaint
        for sentence in sentences:
            print(sentence, file=sys.stderr)
        sys.exit(status)


@commands.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Processes; POBRATYM_WORKERS if unset.")] = None,
    worker: Annotated[bool, typer.Option(help="Deliver mail and keep timers in the same process.")] = True,  # noqa: FBT002
) -> None:
    """Serve the API and the pages, and do the jobs in the same process."""
    with command.importing():
        import asyncio  # noqa: PLC0415

        import uvicorn  # noqa: PLC0415

        from api.cli import sockets  # noqa: PLC0415
        from integrations.runtime import postgres, settings, world  # noqa: PLC0415

        loaded_settings = command.read_settings()
        processes = workers or loaded_settings.workers
        if processes == 1:  # else each imports it for itself
            from api import app  # noqa: PLC0415
    sockets.free_port(host, port)  # a sentence now, before a database is started
    _leave_on(signal.SIGTERM, signal.SIGINT)
    with contextlib.ExitStack() as stack:
        if loaded_settings.is_embedded:  # held here, so that it outlives each of the processes
            stack.enter_context(postgres.running(loaded_settings.data_dir))
        loaded_settings = settings.remember_address(loaded_settings, port)
        purpose = "api with worker" if worker else "api"
        opening = world.opened(loaded_settings, purpose=purpose, version=VERSION)
        options: dict[str, Any] = {
            "http": "api.edge.connections:Connection",  # by name: each process imports it
            "ws": "none",
            "host": host,
            "port": port,
            "log_config": None,
            "access_log": False,
            "server_header": False,
            "timeout_graceful_shutdown": 10,
        }
        if processes == 1:
            make = app.serving if worker else app.serving_only
            _serve_alone(opening, lambda opened: uvicorn.Config(make(opened), **options))
        else:
            asyncio.run(_try_to_open(opening))
            name = "serving" if worker else "serving_only"
            _serve_in_several(uvicorn.Config(f"api.app:{name}", factory=True, **options, workers=processes))


@commands.command()
def worker(
    host: Annotated[str, typer.Option(help="Address at which POBRATYM_WORKER_PORT listens.")] = "127.0.0.1",
) -> None:
    """Deliver what is due and keep the timers, until stopped. Start as many as wanted."""
    with command.importing():
        import uvloop  # noqa: PLC0415

        from api.edge import metrics  # noqa: PLC0415
        from api.exchange import import_work  # noqa: PLC0415
        from integrations.runtime import worker as jobs  # noqa: PLC0415
        from integrations.runtime import worker_port, world  # noqa: PLC0415

    loaded_settings = command.read_settings()

    async def work() -> None:
        stop = _stopped()  # before a database starts, which a signal would leave running
        timeout = loaded_settings.job_statement_timeout_ms
        opening = world.opened(loaded_settings, purpose="worker", version=VERSION, statement_timeout_ms=timeout)
        async with opening as opened, worker_port.opened(opened, host, metrics.shown):
            await jobs.run(opened, stop, import_work.run)

    uvloop.run(work())


@commands.command()
def health(
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Of the process; that of the container's first one if unset.")
    ] = None,
) -> None:
    """Ask the process that runs here whether it lives. Ends with 1 if it does not answer."""
    from api.cli import health as asking  # noqa: PLC0415

    is_alive = asking.is_alive(asking.port_of(asking.first_command()) if port is None else port)
    if not is_alive:
        print("It does not answer, or says that it is stuck.")
        raise typer.Exit(1)


@commands.command()
def migrate(
    wait: Annotated[
        float | None, typer.Option(min=0, help="Seconds to try for, while others hold what this needs; 300 if unset.")
    ] = None,
) -> None:
    """Bring the database to the schema of this program. Others may work on it."""
    import asyncio  # noqa: PLC0415

    from integrations.runtime import database_faults, doctor, schema_version, world  # noqa: PLC0415
    from integrations.runtime import migrate as migrations  # noqa: PLC0415
    from service.kernel import actor, installation, partitions  # noqa: PLC0415

    loaded_settings = command.read_settings(log_level="warning")

    async def upgrade() -> None:
        hour = 3_600_000
        async with world.opened(
            loaded_settings, purpose="migrate", statement_timeout_ms=hour, migrating=False
        ) as opened:
            with database_faults.explained():
                patience = migrations.PATIENCE_SECONDS if wait is None else wait
                await migrations.upgrade(opened.engine, patience)
                async with opened.database.work(actor.TIMER) as w:
                    await partitions.make_all(w)
                    grant = await installation.missing_rights(w)
                if grant:
                    print(f"Missing: {doctor.UNREADABLE}. {grant};", file=sys.stderr)
                if loaded_settings.pooler != "none":
                    await migrations.keep_at_role(opened.engine, world.session_settings(loaded_settings))

    asyncio.run(upgrade())
    print(f"The schema is {schema_version.head()}.")


@commands.command()
def init(email: Annotated[str, typer.Argument(help="The first admin's address.")]) -> None:
    """Load the published registry, and make its first admin.

    This person is an admin of its programmes then; safe to repeat.
    """
    from service.registry import published_facts  # noqa: PLC0415

    async def begin(_: "World", w: "Work") -> None:
        await published_facts.load(w)
        await published_facts.make_admin(w, email)

    command.in_work(begin)
    print(f"The registry is loaded; {email} is an admin. They sign in by a link in a mail.")


@commands.command()
def token(email: Annotated[str, typer.Argument(help="The person's address.")]) -> None:
    """Print an access token of the person, and nothing else."""
    from service.kernel import errors  # noqa: PLC0415

    async def issue(world: "World", w: "Work") -> str:
        return await world.tokens.for_email(w, email)

    try:
        print(command.in_work(issue))
    except errors.NotFound:
        msg = "No active person has this address."
        raise command.Stop(msg) from None


@commands.command()
def demo(
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    once: Annotated[bool, typer.Option(help="End after the walk.")] = False,  # noqa: FBT002
    data_only: Annotated[bool, typer.Option(help="Load the registry and the demo people, and end.")] = False,  # noqa: FBT002
) -> None:
    """Walk one consultation from request to report, then serve. It goes over HTTP."""
    import asyncio  # noqa: PLC0415

    from api.cli import demo as walk  # noqa: PLC0415

    loaded_settings = command.read_settings(log_level="warning")
    _leave_on(signal.SIGTERM)
    try:
        asyncio.run(walk.run(loaded_settings, port=port, once=once, data_only=data_only))
    except walk.StepFailed as error:
        raise command.Stop(str(error)) from None


@commands.command()
def listen(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 9000,
    secret: Annotated[
        str | None, typer.Option(help="The endpoint's whsec_ secret: verify, and refuse the rest.")
    ] = None,
    store: Annotated[Path, typer.Option(help="The file that gets a line of JSON for each arrival.")] = Path(
        "webhooks.jsonl"
    ),
    events_from: Annotated[str | None, typer.Option(help="Also ask this Pobratym for events.")] = None,
    token: Annotated[str | None, typer.Option(help="The access token to ask with.", envvar="POBRATYM_TOKEN")] = None,
) -> None:
    """Receive webhooks on this machine: verify, show and keep each. For trying things out."""
    import asyncio  # noqa: PLC0415

    from rich.console import Console  # noqa: PLC0415

    from api.cli import listen as receiver  # noqa: PLC0415

    console = Console()
    hint = receiver.HINT.format(host=host, port=port, store=store)
    console.print(hint, markup=False, highlight=False, soft_wrap=True)  # its commands are to be copied
    asyncio.run(receiver.run(receiver.Listener(store, secret, console), host, port, events_from, token))


@commands.command()
def doctor(
    *,
    reports: Annotated[
        bool, typer.Option("--reports", help="Also count anew what is kept of the past, which takes a while.")
    ] = False,
    as_json: command.AsJson = False,
) -> None:
    """Tell what is wrong, and how to mend it."""
    import asyncio  # noqa: PLC0415

    from integrations.runtime import doctor as doctors  # noqa: PLC0415

    findings = asyncio.run(doctors.examine(command.read_settings(log_level="error"), with_reports=reports))
    if as_json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], ensure_ascii=False))
    for finding in () if as_json else findings:
        print(f"{'well ' if finding.is_well else 'ILL  '} {finding.subject}: {finding.detail}")
        if not finding.is_well:
            print(f"      {finding.mend}")
    raise typer.Exit(0 if all(finding.is_well for finding in findings) else 1)


@log.command()
def verify(
    *,
    anchor: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="What `log anchor` wrote: the logs must still hold it."),
    ] = None,
    as_json: command.AsJson = False,
) -> None:
    """Follow every memorandum's chain. Fails when an entry was changed or taken out, or (by an anchor) cut off."""
    from api.cli import anchors  # noqa: PLC0415

    try:
        anchored = anchors.read(anchor.read_bytes()) if anchor else []
    except anchors.NoAnchor as error:
        raise command.Stop(str(error)) from None
    verifications, restored_ends = command.in_reading(lambda w: _verified(w, anchored))
    cut = {end.memorandum_id: f" (a restore of {end.made_at:%Y-%m-%d} left {end.position})" for end in restored_ends}
    lines = [
        {"memorandum_id": str(id_), "ok": result.ok, "entries": result.entries, "first_broken": result.first_broken}
        for id_, result in verifications.items()
    ]
    if as_json:
        print(json.dumps(lines, default=str))
    for line in () if as_json else lines:
        state = (
            "holds"
            if line["ok"]
            else f"BROKEN at {line['first_broken']}{cut.get(UUID(str(line['memorandum_id'])), '')}"
        )
        print(f"{line['memorandum_id']}: {line['entries']} entries, {state}")
    raise typer.Exit(0 if all(result.ok for result in verifications.values()) else 1)


async def _verified(
    w: "Work", anchored: "list[memorandum_log.Anchor]"
) -> "tuple[dict[UUID, chain.Verification], list[memorandum_log.RestoredEnd]]":
    from service.registry import memorandum_log  # noqa: PLC0415

    return await memorandum_log.verify_all(w, anchored), await memorandum_log.restored_ends(w)


@log.command("anchor")
def write_anchor(
    *, out: Annotated[Path | None, typer.Option(dir_okay=False, help="Write it to a new file instead.")] = None
) -> None:
    """Print where every log ends now, in JSON. Keep it where whoever runs the database cannot write."""
    from api.cli import anchors  # noqa: PLC0415
    from service import housekeeping  # noqa: PLC0415
    from service.registry import memorandum_log  # noqa: PLC0415

    async def write(_: "World", w: "Work") -> None:
        text = anchors.written(await memorandum_log.anchors(w), w.now, await memorandum_log.restored_ends(w))
        if out is None:
            print(text)
        else:
            _write_new(out, text + "\n")
            print(f"{out} tells where every log ends now.")
        await housekeeping.note_anchor(w)  # only now: what could not be written is no anchor

    command.in_work(write)


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise command.Stop(msg) from None


def _serve_alone(
    opening: "contextlib.AbstractAsyncContextManager[World]", configured: "Callable[[World], uvicorn.Config]"
) -> None:
    """Serve in this process, over a world that is opened once, until stopped. Raises what keeps it from opening."""
    import uvicorn  # noqa: PLC0415
    import uvloop  # noqa: PLC0415
    from uvicorn.config import STARTUP_FAILURE  # noqa: PLC0415

    async def serve() -> bool:
        async with opening as opened:
            server = uvicorn.Server(configured(opened))
            await server.serve()
            return server.started

    if not uvloop.run(serve()):
        sys.exit(STARTUP_FAILURE)


def _serve_in_several(config: "uvicorn.Config") -> None:
    """Serve in `config.workers` processes until stopped; one that dies is started again."""
    from uvicorn.config import STARTUP_FAILURE  # noqa: PLC0415
    from uvicorn.supervisors import Multiprocess  # noqa: PLC0415

    from api.cli import sockets  # noqa: PLC0415

    parent = Multiprocess(config, sockets=sockets.OfEachProcess(config.host, config.port))
    parent.run()
    if any(process.exitcode == STARTUP_FAILURE for process in parent.processes):
        msg = "One of the processes could not start, so all ended: its last lines say why."
        raise command.Stop(msg)


async def _try_to_open(world: "contextlib.AbstractAsyncContextManager[World]") -> None:
    """Open the world once, so that what prevents it is printed as a sentence, not as failed starts of servers."""
    async with world:
        pass


def _leave_on(*numbers: signal.Signals) -> None:
    """Let signals unwind what is open: they may come before uvicorn listens, and at its end it raises them again."""
    for number in numbers:
        signal.signal(number, lambda *_: sys.exit(0))


def _stopped() -> "asyncio.Event":
    """Give the event that SIGTERM and SIGINT set."""
    import asyncio  # noqa: PLC0415

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


commands.command("import")(files.import_)
commands.command("export")(files.export)
commands.command("simulate")(simulate.simulate)
