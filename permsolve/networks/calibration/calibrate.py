"""Run a model over calibration data, and sum up what its layers read."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from os import PathLike

import torch
from torch import Tensor, nn

from permsolve.checks import is_number, require
from permsolve.errors import InvalidNetworkError, InvalidOptionError, MemoryLimitError
from permsolve.io.spool import Spool
from permsolve.moments import InputMoments
from permsolve.networks.calibration.batches import Batches, call
from permsolve.networks.calibration.calibration import Calibration
from permsolve.networks.calibration.geometry import Geometry
from permsolve.networks.calibration.matching import column_norms
from permsolve.networks.calibration.memory import memory_named
from permsolve.networks.calibration.padding import AUTO, Mask, Padding
from permsolve.networks.calibration.sharing import Diverged, Notes, Tokens
from permsolve.networks.calibration.sums import Sums, size_of_sums
from permsolve.networks.calibration.watching import watched
from permsolve.networks.keeping import kept
from permsolve.networks.layers import reads_input
from permsolve.networks.prunable import NameFilter, PrunableWeight, places_of, prunable_weights
from permsolve.networks.surroundings import compilation_off, fast_path_off, undisturbed
from permsolve.networks.trace.export import check_module, mode

_LOGGER = logging.getLogger(__name__)
_HIDDEN = "all that it reads is padding, as the masks say"
_PARTIAL = "parts of it are multiplied by inputs of their own: its moments are of what all of them read, together"


@undisturbed
def calibrate(
    model: nn.Module,
    batches: Iterable[object],
    *,
    device: torch.device | str | None = None,
    include: NameFilter | None = None,
    exclude: NameFilter | None = None,
    moments: str = "full",
    mask: Mask = AUTO,
    memory_limit: int | None = None,
    spool: str | PathLike[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Second moments of what the layers of a model read, over calibration data.

    The model runs in evaluation mode without gradients, and is afterwards as it was.

    Parameters
    ----------
    model : Module
        The model.
    batches : iterable
        What the model is called with: tensors, tuples of arguments, or dicts of arguments by name. An iterable that
        can be read only once (a generator) does where one pass is enough.
    device : device, optional
        Where to run the model; it is moved there, and back. Without it, where it is. Batches are moved to it.
    include, exclude : str, iterable of str, or callable, optional
        Which layers: see :func:`permsolve.networks.prunable.prunable_weights`.
    moments : {"full", "diagonal"}, default "full"
        All second moments, ``d * d`` for a layer of ``d`` inputs, or their diagonal only, which is enough for the
        saliencies ``wanda``, ``ria`` and ``obd``.
    mask : {"auto", None}, str, or callable, default "auto"
        What is padding in a batch and does not count. ``"auto"``: what the masks hide that batches of transformers and
        of torch have by name (``attention_mask``, ``decoder_attention_mask``, ``pixel_attention_mask``,
        ``src_key_padding_mask``, ...). Or the name of the entry that is such a mask, or a function of the batch that
        returns one, or None: True or 1 where a position counts, its axes the leading ones of what the model is called
        with, (batch, sequence). None: all positions count.
    memory_limit : int, optional
        Bytes for sums at a time: as many layers as fit are summed up in one pass over the batches, in the order of
        their calls, and further passes follow. Layers that do not fit alone are refused.
    spool : path_like, optional
        A folder with room for second moments, where they are written as soon as they are known, to a temporary file
        without a name, and read again when they are needed. Without it they stay in memory, all layers' together.
    progress : callable, optional
        Called with the numbers of batches done and of batches in all (0 where their number is not known).

    Returns
    -------
    Calibration
        Moments by name of the weight (``layer.weight``). Layers that were not reached are in its ``missing``;
        whatever uses the calibration goes by the magnitude of their weights, and says so.

    Raises
    ------
    InvalidOptionError
        When an argument cannot be used, there is no batch, or batches that can be read once are needed again.
    MemoryLimitError
        When a layer needs more than the limit alone, or memory runs out.
    InvalidNetworkError
        When the model is no module, has no such layer or no values, or cannot be called with a batch, or a layer reads
        NaN or infinity.
    OSError
        When there is no such folder, or no room in it.

    Notes
    -----
    Products of a batch are made in float32 (float64 where the layer's input is), and summed in float64; means are kept
    as float32 (float64). A weight that several layers share, or that is used several times, sums up over
    all uses. Layers that are given the very same tensor (query, key and value) share one sum and one array.

    The first batch is run once more, before all others, to see which layers share inputs, and in what order they are
    called. Positions that a mask hides are followed through the operators of the model, also where they are flattened,
    re-ordered or distributed among experts (:mod:`permsolve.networks.calibration.hidden`); where that fails, a layer
    whose input has the axes of the mask in front is known by its shape, and any other counts whole and is named in
    ``notes``.

    What reads a weight without calling its layer, as ``nn.MultiheadAttention`` does with its output projection,
    is seen by its product (:mod:`permsolve.networks.calibration.watching`).
    """
    check_module(model)
    require(moments in ("full", "diagonal"), "moments", "'full' or 'diagonal'", moments)
    require(memory_limit is None or is_number(memory_limit), "memory_limit", "a number of bytes", memory_limit)
    require(progress is None or callable(progress), "progress", "a function", progress)
    chosen = prunable_weights(model, include, exclude)
    weights = {weight.name: weight for weight in chosen if not weight.tensor.is_complex()}  # no pattern prunes those
    if not weights:
        raise InvalidNetworkError(f"{type(model).__name__} has no layer with a weight to calibrate")
    layers = {name: places for name, places in places_of(model).items() if name in weights}
    with ExitStack() as stack:
        store = None if spool is None else stack.enter_context(Spool(spool))
        padding = Padding(mask)
        run = _Run(model, layers, Batches(batches), moments == "full", padding, memory_limit, store, progress)
        run.device = stack.enter_context(running(model, device))
        found = run.all()
    missing = {name: _HIDDEN if name in run.called else unseen(layers[name]) for name in weights if name not in found}
    columns = {name: column_norms(weight) for name, weight in weights.items() if name in found}
    return Calibration(
        {name: found[name] for name in weights if name in found},
        missing,
        columns={name: norms for name, norms in columns.items() if norms is not None},
        notes=padding.notes,
    )


class _Run:
    """All passes over the batches."""

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, Sequence[PrunableWeight]],
        batches: Batches,
        full: bool,
        padding: Padding,
        memory_limit: int | None,
        spool: Spool | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.model, self.layers, self.batches, self.full = model, layers, batches, full
        self.padding = padding
        self.memory_limit, self.spool, self.progress = memory_limit, spool, progress
        self.device: torch.device | None = None
        self.called: set[str] = set()  # weights that read something, padding included
        self.shapes = {name: (places[0].groups, places[0].tensor[0].numel()) for name, places in layers.items()}

    def all(self) -> dict[str, InputMoments]:
        """Moments of all weights that are reached."""
        tokens, entered = Tokens(), set[str]()
        # Of computed weights only those are watched that are known to need it: to keep their address, they are kept.
        odd = [name for name, places in self.layers.items() if _watch_first(places)]
        with kept(self.model, entries=True), watched(self.layers, tokens.add, odd, entered):
            call(self.model, self.batches.first, self.device)
        products = [name for name in self.layers if name in entered or name not in tokens.calls]
        leaders = tokens.leaders(self.layers, products)
        try:
            return self._passes(leaders, products)
        except Diverged as error:
            _LOGGER.info("%s reads other inputs than in the first batch: calibrating without shared sums", error)
            return self._passes({name: name for name in leaders}, products)

    def _passes(self, leaders: Mapping[str, str], products: Sequence[str]) -> dict[str, InputMoments]:
        members: dict[str, list[str]] = {}
        for name, leader in leaders.items():
            members.setdefault(leader, []).append(name)
        blocks = list(self._blocks(members))
        if len(blocks) > 1 and self.batches.once:
            raise InvalidOptionError(
                f"memory_limit={self.memory_limit} makes {len(blocks)} passes over the batches necessary, which can be "
                "read only once: give a list or another iterable that starts anew, or a larger limit"
            )
        found: dict[str, InputMoments] = {}
        for number, block in enumerate(blocks):
            sums = {leader: Sums(leader, self.shapes[leader][1], self.full, self.shapes[leader][0]) for leader in block}
            chosen = {name: leaders[name] for leader in block for name in members[leader]}
            self._pass(chosen, sums, [name for name in products if name in chosen], number, len(blocks))
            for leader in block:
                needs = self._needs(sums)
                total = sums.pop(leader)
                with memory_named(*needs):
                    moments = total.moments()
                if moments is not None and total.idle:
                    self.padding.notes[leader] = idle_parts(total)
                if moments is not None:
                    moments = moments if self.spool is None else moments.stored(self.spool.put)
                    found |= dict.fromkeys(members[leader], moments)
        return found

    def _pass(
        self, leaders: Mapping[str, str], sums: Mapping[str, Sums], products: Sequence[str], number: int, passes: int
    ) -> None:
        """One pass over the batches for some of the layers."""
        notes, done = Notes(), 0

        def seen(name: str, x: Tensor, geometry: Geometry) -> None:
            notes.add(name, x, geometry)
            if x.numel():
                self.called.add(name)
            leader = leaders[name]
            if geometry.partial:
                self.padding.notes[name] = _PARTIAL
            if leader == name:
                with self.padding.apart():
                    hidden = self.padding.hidden(name, x, not geometry.kernel)
                    with memory_named(*self._needs(sums)):
                        sums[name].add(x, geometry, done, hidden)
            elif not notes.agree(name, leader):
                raise Diverged(name)

        layers = {name: self.layers[name] for name in leaders}
        with kept(self.model, entries=True), watched(layers, seen, products):
            for done, batch in enumerate(self.batches, 1):
                notes = Notes()
                call(self.model, batch, self.device, done, self.padding)
                for name, leader in leaders.items():
                    if len(notes.calls[name]) != len(notes.calls[leader]):
                        raise Diverged(name)
                if self.progress is not None:
                    self.progress(number * self.batches.count + done, passes * self.batches.count)
        if not done:
            raise InvalidOptionError(
                "batches has no batch when it is read again: give a list or another iterable that starts anew"
            )

    def _size(self, name: str) -> int:
        """Bytes that the sums of a weight need."""
        return size_of_sums(*self.shapes[name], full=self.full)

    def _needs(self, names: Iterable[str]) -> tuple[int, str]:
        """Bytes that the sums of some weights need at a time, and the one that needs most."""
        sizes = {name: self._size(name) for name in names}
        return sum(sizes.values()), max(sizes, key=sizes.__getitem__)

    def _blocks(self, members: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
        """Layers that are summed up at the same time."""
        block: list[str] = []
        used = 0
        for leader in members:
            size = self._size(leader)
            if self.memory_limit is not None and size > self.memory_limit:
                raise MemoryLimitError(self.memory_limit, size, leader)
            if block and self.memory_limit is not None and used + size > self.memory_limit:
                yield block
                block, used = [], 0
            block.append(leader)
            used += size
        yield block


def _watch_first(places: Sequence[PrunableWeight]) -> bool:
    """Whether products with a weight are looked at from the first batch on."""
    first = places[0]
    parametrized = first.attribute not in first.module._parameters
    projection = isinstance(first.module, nn.modules.linear.NonDynamicallyQuantizableLinear)
    return not parametrized or projection or not all(reads_input(place.module) for place in places)


def idle_parts(total: Sums) -> str:
    """What is to be said of matrices of a weight that read nothing."""
    listed = ", ".join(map(str, total.idle[:8])) + (", ..." if len(total.idle) > 8 else "")
    return (
        f"no batch reaches {len(total.idle)} of its {len(total.samples)} matrices ({listed}): taken by magnitude, with "
        "values as they were"
    )


def unseen(places: Sequence[PrunableWeight]) -> str:
    """Why nothing is known of what layers with one weight read."""
    if all(reads_input(place.module) for place in places):
        return "no batch reaches its layer, and no product with the whole weight was seen"
    return "its layer has a forward of its own, in which no product with the whole weight was seen"


@contextmanager
def running(model: nn.Module, device: torch.device | str | None) -> Iterator[torch.device | None]:
    """The model in evaluation mode on a device, as eager code whose parts can be seen; afterwards as it was."""
    tensors = [*model.parameters(), *model.buffers()]
    homes = {tensor.device for tensor in tensors}
    if device is not None and len(homes) > 1:
        raise InvalidOptionError(
            f"device={str(device)!r}: the model lies on {len(homes)} devices "
            f"({', '.join(sorted(map(str, homes)))}): leave the device out"
        )
    home = next(iter(homes)) if len(homes) == 1 else None
    target = torch.device(device) if device is not None else home
    with ExitStack() as stack:
        if device is not None and home is not None:
            stack.callback(model.to, home)
            model.to(target)
        stack.enter_context(fast_path_off())
        stack.enter_context(compilation_off())
        stack.enter_context(mode(model, False))
        stack.enter_context(torch.no_grad())
        used = {tensor.device for tensor in tensors} | ({target} if target is not None else set())
        cuda = [one for one in used if one.type == "cuda"]
        stack.enter_context(torch.random.fork_rng(devices=cuda))  # of models that draw in evaluation, too
        yield target
