"""Writes cells-*.h5ad and matrix.h5, which tests/input.rs reads: pip install anndata==0.12.19 h5py; python cells.py"""

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

counts = np.array(
    [[3, 1, 1, 1, 0], [2, 1, 1, 1, 0], [1, 3, 1, 0, 2], [2, 1, 1, 0, 2], [0, 2, 1, 3, 1], [0, 3, 0, 0, 3], [0, 3, 2, 1, 4]],
    dtype="f4",
)
n, m = counts.shape
cells = pd.DataFrame(
    {
        "kind": pd.Categorical(["a", "b", "a", "c", "b", "a", "c"]),
        "depth": np.arange(n) * 1.5,
        "batch": [1, 2, 1, 2, 1, 2, 1],
        "fine": [True, False, True, False, True, False, True],
        "guess": pd.Categorical(["a", None, "a", "c", "b", None, "c"]),
        "dose": pd.array([1, None, 3, 4, 5, 6, 7], dtype="Int64"),
    },
    index=[f"cell{i}" for i in range(n)],
)
genes = pd.DataFrame(index=[f"gene{i}" for i in range(m)])


def write(name, matrix, **options):
    data = anndata.AnnData(X=matrix, obs=cells.copy(), var=genes.copy())
    data.obsm["X_pca"] = np.arange(2 * n).reshape(n, 2) / 4.0
    data.layers["doubled"] = 2 * matrix
    data.write_h5ad(f"cells-{name}.h5ad", **options)


write("dense", counts)
write("csr", sp.csr_matrix(counts), compression="gzip")
write("csc", sp.csc_matrix(counts))

# As anndata wrote before version 0.7: attributes and groups of other names.
with h5py.File("cells-old.h5ad", "w") as file:
    matrix = sp.csr_matrix(counts)
    x = file.create_group("X")
    x.attrs["h5sparse_format"], x.attrs["h5sparse_shape"] = "csr", counts.shape
    x["data"], x["indices"], x["indptr"] = matrix.data, matrix.indices, matrix.indptr
    obs = file.create_group("obs")
    obs.attrs["_index"] = "index"
    obs["index"] = np.array([f"cell{i}" for i in range(n)], dtype="S6")
    obs["kind"] = cells["kind"].cat.codes.to_numpy()
    obs["__categories/kind"] = np.array(["a", "b", "c"], dtype=object)

# A matrix and nothing else, in chunks.
with h5py.File("matrix.h5", "w") as file:
    i, j = np.mgrid[:400, :16]
    file.create_dataset("numbers", data=((7 * i * i + 3 * i * j + j) % 101).astype("f8"), chunks=(64, 5), compression="gzip")
