//! Named axes and coordinates, so that an HDF5 file is a netCDF-4 file to those who read such: xarray, ncdump, CDO.
//!
//! A coordinate is a dimension scale: a dataset with the attributes `CLASS` and `NAME`. A dataset says by `DIMENSION_LIST` which
//! scale each of its axes has. `units`, `long_name` and `Conventions` are those of the CF conventions; all quantities are
//! non-dimensional, so that units are 1.

use hdf5::ObjectReference1;
use hdf5::types::{VarLenArray, VarLenUnicode};
use ndarray::arr1;

use super::h5;

/// Version of the CF conventions that are followed.
const CONVENTIONS: &str = "CF-1.11";

/// Writes the coordinate `name` with its values.
///
/// # Errors
/// The file cannot be written.
pub fn coordinate<T: hdf5::H5Type>(file: &hdf5::File, name: &str, values: &[T], long_name: &str) -> hdf5::Result<()> {
    let dataset = file.new_dataset_builder().with_data(values).create(name)?;
    terminated(&dataset, "CLASS", "DIMENSION_SCALE")?;
    terminated(&dataset, "NAME", name)?;
    about(&dataset, long_name)
}

/// Writes the coordinates `x` and `y` of a grid of `n` × `n` points, in units of the side of the square.
///
/// # Errors
/// The file cannot be written.
pub fn plane(file: &hdf5::File, n: usize) -> hdf5::Result<()> {
    let at: Vec<f64> = (0..n).map(|i| i as f64 / n as f64).collect();
    for name in ["x", "y"] {
        coordinate(file, name, &at, &format!("{name} in units of the side of the periodic square"))?;
    }
    Ok(())
}

/// Writes a coordinate that only counts from 0.
///
/// # Errors
/// The file cannot be written.
pub fn count(file: &hdf5::File, name: &str, length: usize) -> hdf5::Result<()> {
    let numbers: Vec<u64> = (0..length as u64).collect();
    coordinate(file, name, &numbers, name)
}

/// Says what the dataset `name` is, and which coordinate each of its axes has.
///
/// # Errors
/// There is no such dataset or coordinate, or the file cannot be written.
pub fn variable(file: &hdf5::File, name: &str, axes: &[&str], long_name: &str) -> hdf5::Result<()> {
    let dataset = file.dataset(name)?;
    let scale = |axis: &&str| Ok(VarLenArray::from_slice(&[file.reference::<ObjectReference1>(axis)?]));
    let scales = axes.iter().map(scale).collect::<hdf5::Result<Vec<_>>>()?;
    dataset.new_attr_builder().with_data(&arr1(&scales)).create("DIMENSION_LIST")?;
    about(&dataset, long_name)
}

/// Says what the file is.
///
/// # Errors
/// The file cannot be written.
pub fn title(file: &hdf5::File, title: &str) -> hdf5::Result<()> {
    h5::set_text(file, "Conventions", CONVENTIONS)?;
    h5::set_text(file, "title", title)?;
    h5::set_text(file, "institution", concat!("lacuna ", env!("CARGO_PKG_VERSION")))
}

fn about(dataset: &hdf5::Dataset, long_name: &str) -> hdf5::Result<()> {
    for (name, text) in [("long_name", long_name), ("units", "1")] {
        let text: VarLenUnicode = text.parse().unwrap_or_default();
        dataset.new_attr::<VarLenUnicode>().create(name)?.write_scalar(&text)?;
    }
    Ok(())
}

/// Sets a text attribute of fixed length that ends with a NUL: the library of dimension scales takes no other, and the safe
/// interface makes strings of fixed length that are padded.
fn terminated(dataset: &hdf5::Dataset, name: &str, text: &str) -> hdf5::Result<()> {
    use hdf5_sys::{h5a, h5p, h5s, h5t};

    let strings = |text: &str| std::ffi::CString::new(text).map_err(|error| hdf5::Error::from(error.to_string()));
    let (name, text) = (strings(name)?, strings(text)?);
    let written = hdf5::sync::sync(|| {
        // SAFETY: under the library's lock, with identifiers that it has just given out or refused (negative ones are refused by the
        // calls that follow) and strings that live longer than the calls.
        unsafe {
            let kind = h5t::H5Tcopy(*h5t::H5T_C_S1);
            h5t::H5Tset_size(kind, text.as_bytes_with_nul().len());
            let space = h5s::H5Screate(h5s::H5S_class_t::H5S_SCALAR);
            let (creation, access) = (h5p::H5P_DEFAULT, h5p::H5P_DEFAULT);
            let attribute = h5a::H5Acreate2(dataset.id(), name.as_ptr(), kind, space, creation, access);
            let written = h5a::H5Awrite(attribute, kind, text.as_ptr().cast());
            h5a::H5Aclose(attribute);
            h5s::H5Sclose(space);
            h5t::H5Tclose(kind);
            written
        }
    });
    if written < 0 { Err(format!("cannot write the attribute {name:?}").into()) } else { Ok(()) }
}
