"""`timelab work`: drain the queue. The hook starts it; it is no daemon and exits when nothing is left."""

from __future__ import annotations

import click

from timelab.cli.options import current_repo


@click.command()
@click.option("--wait", is_flag=True, help="Show progress and outcomes: somebody waits for them.")
def command(wait: bool) -> int:
    """Run what the queue holds and exit.

    Several workers may run at once: each job is leased to one of them, and a killed worker's job is given back. With
    --wait it also waits for what the others have in hand.
    """
    from timelab.cli.progress import Progress
    from timelab.cli.run import print_outcome, worst_code
    from timelab.cli.services import services_for
    from timelab.interrupts import stop_on_signals
    from timelab.pending import drain
    from timelab.store.recover import heal

    repo = current_repo()
    # A worker that is told to end gives its job back at once, and the attempt counts; Ctrl-C is recorded.
    stop_on_signals()
    heal(repo)
    progress = Progress()
    outcomes = []
    said = progress if wait else lambda what, done, total: None
    for outcome in drain(repo, services_for(repo), progress=said, wait=wait):
        progress.clear()
        outcomes.append(outcome)
        if wait:
            print_outcome(outcome)
    return worst_code(outcomes)
