# All set-up is here: `make rank` and `make test` work on a fresh machine with Python 3.11 or later.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

PYTHONS ?= python3.11 python3.12

.PHONY: rank distill test check format speed gpu example readme docs leaderboard leaderboard-anew matrix lock soak mutate fuzz memory audit clean

rank: $(VENV)/installed
	$(BIN)/python benchmarks/rank.py --proxy diswot --dataset cifar10

distill: $(VENV)/installed
	$(BIN)/python search/distill.py

test: $(VENV)/installed-test
	$(BIN)/python -m pytest

check: $(VENV)/installed-check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

format: $(VENV)/installed-check
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# the tables of README and docs/rank.md and docs/report.html, from docs/example and docs/leaderboard.csv; `make example` runs docs/example anew
readme: $(VENV)/installed
	$(BIN)/python docs/readme.py

example: $(VENV)/installed
	$(BIN)/python docs/readme.py --run

# docs/leaderboard.* from the committed score tables
leaderboard: $(VENV)/installed
	$(BIN)/python analysis/leaderboard.py

# scores all of them anew first: hours
ANEW := $(BIN)/python benchmarks/rank.py --anew --baselines '' --sample all
KEPT := $(BIN)/python benchmarks/data.py export
SCORES := benchmarks/results/scores
NO_IMAGE_ALONE := 'all,-az_nas,-vkdnw,-ntk*,-grasp,-gradsign'
TRANSFORMERS := --target distilled --batch-size 16 --draw independent --init default
FORWARD := diswot*,params,macs,l2_norm,tvt_attention,sp,at,kd
BACK := grad_norm,snip,synflow,logsynflow,fisher,naswot,swap,jacob_cov,dss,cka,dist,rkd,cc,pkt
leaderboard-anew: $(VENV)/installed
	$(ANEW) --space s0 --dataset cifar100 --target distilled --proxy $(NO_IMAGE_ALONE) --out runs/leaderboard-s0
	$(KEPT) runs/leaderboard-s0 --into $(SCORES)/s0-cifar100.npz
	$(ANEW) --space pit --dataset cifar100 $(TRANSFORMERS) --proxy '$(FORWARD),$(BACK)' --out runs/leaderboard-pit
	$(KEPT) runs/leaderboard-pit --into $(SCORES)/pit-cifar100.npz
	for data in flowers chaoyang; do \
		$(ANEW) --space pit --dataset $$data $(TRANSFORMERS) --proxy '$(FORWARD),grad_norm,synflow' \
			--out runs/leaderboard-pit-$$data && \
		$(KEPT) runs/leaderboard-pit-$$data --into $(SCORES)/pit-$$data.npz || exit 1; \
	done
	for data in cifar100 flowers chaoyang; do \
		$(ANEW) --space autoformer --dataset $$data $(TRANSFORMERS) --proxy '$(FORWARD)' \
			--out runs/leaderboard-autoformer-$$data && \
		$(KEPT) runs/leaderboard-autoformer-$$data --into $(SCORES)/autoformer-$$data.npz || exit 1; \
	done
	$(ANEW) --space torchvision --dataset imagenet --max-params 100M --batch-size 8 --teacher torchvision:resnet50 \
		--proxy params,macs,synflow,grad_norm,naswot,diswot --out runs/leaderboard-zoo
	$(KEPT) runs/leaderboard-zoo --into $(SCORES)/torchvision-imagenet.npz
	$(ANEW) --proxy $(NO_IMAGE_ALONE) --out runs/leaderboard-nasbench201
	$(KEPT) runs/leaderboard-nasbench201 --into $(SCORES)/nasbench201-cifar10.npz
	$(ANEW) --draw independent --proxy 'diswot*,sp,at,kd,cka,dist,ickd,nst,fitnets' --out runs/leaderboard-independent
	$(KEPT) runs/leaderboard-independent --into $(SCORES)/nasbench201-cifar10-independent.npz
	$(BIN)/python analysis/leaderboard.py

# what is written from the code or from committed runs, and every command that the documents show
docs: readme
	$(BIN)/python docs/rooms.py
	$(BIN)/python docs/pages.py
	$(BIN)/python docs/commands.py

speed: $(VENV)/installed
	$(BIN)/python benchmarks/speed.py

# everything that needs a GPU, in nine minutes; what a bare machine needs for it: docs/gpu.md
gpu: $(VENV)/installed
	$(BIN)/python benchmarks/speed.py --gpu --device cuda

# the tests under each Python, one environment of 6 GB after another, with the oldest and the newest dependencies that setup.cfg allows
matrix: $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet uv
	set -e; for python in $(PYTHONS); do for deps in lowest-direct highest; do \
		made=$(VENV)/matrix-$$python-$$deps; $$python -m venv $$made; \
		$(BIN)/uv pip install --quiet --python $$made/bin/python --resolution $$deps --editable ".[test]"; \
		$$made/bin/python -m pytest; rm -rf $$made; done; done

# what the published tables were computed with; docs/data.md says how to install it
lock: $(VENV)/installed
	echo "# What the published tables were computed with (Python 3.11, Linux): make lock writes it anew." > requirements.lock
	$(BIN)/python -m pip freeze --exclude-editable >> requirements.lock

soak: $(VENV)/installed
	$(BIN)/python tests/soak.py --minutes 120

# what these three do, and what they found: docs/testing.md
mutate: $(VENV)/installed-test
	$(BIN)/python tests/mutate.py

fuzz: $(VENV)/installed-fuzz
	$(BIN)/python tests/fuzz.py

memory: $(VENV)/installed
	$(BIN)/python tests/memory.py

# asks PyPI's own service, which a mirror of it may lack: then it fails, and has checked nothing
audit: $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/pip-audit --strict --requirement requirements.lock --no-deps --disable-pip

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python setup.cfg
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-%: $(VENV)/bin/python setup.cfg
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) runs *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
