//! PNG files from RGB bytes: fixed filter and compression, so the same pixels are the same bytes.

use crate::error::Result;
use crate::plot::wrong;

/// Encodes `width × height` RGB pixels with a resolution of `per_inch` pixels per inch.
pub fn encode(name: &str, rgb: &[u8], width: u32, height: u32, per_inch: f64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let per_metre = (per_inch / 0.0254).round() as u32;
    encoder.set_pixel_dims(Some(png::PixelDimensions { xppu: per_metre, yppu: per_metre, unit: png::Unit::Meter }));
    let mut writer = encoder.write_header().map_err(|e| wrong(name, e.to_string()))?;
    writer.write_image_data(rgb).map_err(|e| wrong(name, e.to_string()))?;
    writer.finish().map_err(|e| wrong(name, e.to_string()))?;
    Ok(bytes)
}

/// Encodes frames of palette indices as an animation that repeats; each is shown for `frame` seconds, a fraction.
pub fn animate(
    name: &str,
    frames: &[Vec<u8>],
    palette: &[u8],
    (width, height): (u32, u32),
    frame: (u16, u16),
) -> Result<Vec<u8>> {
    let failed = |e: png::EncodingError| wrong(name, e.to_string());
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette);
    encoder.set_compression(png::Compression::High);
    encoder.set_animated(frames.len() as u32, 0).map_err(failed)?;
    encoder.set_frame_delay(frame.0, frame.1).map_err(failed)?;
    let mut writer = encoder.write_header().map_err(failed)?;
    for frame in frames {
        writer.write_image_data(frame).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    Ok(bytes)
}
