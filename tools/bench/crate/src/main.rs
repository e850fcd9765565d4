//! Pulls one image with the crate microsandbox-image: bench-peer CACHE REFERENCE [ROUNDS]
//! ROUNDS further pulls in the same process, when told, find the image cached: prints the milliseconds of each.
use std::{env, error::Error, path::Path, time::Instant};

use microsandbox_image::{GlobalCache, Platform, PullOptions, Reference, Registry};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [directory, reference, rounds @ ..] = arguments.as_slice() else {
        return Err("usage: bench-peer CACHE REFERENCE [ROUNDS]".into());
    };
    let rounds: usize = rounds.first().map_or(Ok(0), |text| text.parse())?;
    let reference: Reference = reference.parse()?;
    let options = PullOptions::default();
    let registry = Registry::new(Platform::host_linux(), GlobalCache::new(Path::new(directory))?)?;

    let result = registry.pull(&reference, &options).await?;
    for layer in &result.layers {
        eprintln!("{}", layer.display());
    }
    for _ in 0..rounds {
        let start = Instant::now();
        if !registry.pull(&reference, &options).await?.cached {
            return Err("the image was not cached".into());
        }
        println!("{:.3}", start.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(())
}
