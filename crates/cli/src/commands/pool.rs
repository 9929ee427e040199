//! `assay pool`

use std::path::PathBuf;

use assay_chain::{Chain, abi, convert};
use assay_engine::Model;
use assay_protocol::{Address, B256, Basis, Limits, PoolParams, Prices, Rates, Windows};
use eyre::{Context, Result};

use crate::node::{ChainArgs, NetworkArgs};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Create a pool for a model. The contract refuses parameters that break an enforced condition, and says which.
    Create(CreateArgs),
    /// Print a pool's parameters.
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// Prices, rates, limits and windows, in TOML; pools/devnet.toml is an example.
    params: PathBuf,
    /// The model, a GGUF file.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Where others can get the file.
    #[arg(long, default_value = "")]
    uri: String,
    /// Address of the token; the deployment's own if none is given.
    #[arg(long)]
    token: Option<Address>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    chain: ChainArgs,
    /// The pool's id.
    pool: B256,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    prices: Prices,
    rates: Rates,
    limits: Limits,
    windows: Windows,
}

/// A pool's parameters from a TOML file, for the contracts of `chain`.
pub(crate) fn params(text: &str, chain: &Chain, token: Option<Address>, root: B256) -> Result<PoolParams> {
    let file: File = toml::from_str(text)?;
    let d = chain.deployment();
    let basis =
        Basis { token: token.unwrap_or(d.token), beacon: d.beacon, arbiter: d.arbiter, modelRoot: root };
    Ok(PoolParams {
        basis,
        prices: file.prices,
        rates: file.rates,
        limits: file.limits,
        windows: file.windows,
    })
}

/// A pool's parameters for no chain in particular, with some fields (`table.field`) replaced.
pub(crate) fn params_without_chain(text: &str, changes: &[(&str, String)]) -> Result<PoolParams> {
    let mut file: toml::Table = text.parse()?;
    for (path, value) in changes {
        let field = path
            .split_once('.')
            .and_then(|(table, field)| file.get_mut(table)?.as_table_mut()?.get_mut(field))
            .ok_or_else(|| eyre::eyre!("no parameter is called {path:?}; prices.seatStake is one"))?;
        // Amounts are written as text, as TOML's integers end at 2^63.
        *field = match (&field, value.parse()) {
            (toml::Value::Integer(_), Ok(number)) => toml::Value::Integer(number),
            _ => toml::Value::String(value.clone()),
        };
    }
    // Through text: values of a table end at 2^63.
    let file: File = toml::from_str(&file.to_string())?;
    let [token, beacon, arbiter] = [1, 2, 3].map(Address::repeat_byte);
    Ok(PoolParams {
        basis: Basis { token, beacon, arbiter, modelRoot: B256::repeat_byte(4) },
        prices: file.prices,
        rates: file.rates,
        limits: file.limits,
        windows: file.windows,
    })
}

/// Creates a pool and returns its id.
pub(crate) async fn create(chain: &Chain, params: &PoolParams, uri: &str, file: &[u8]) -> Result<B256> {
    let sha256 = B256::from(<[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(file)));
    let call = abi::Pools::createCall { params: convert(params), uri: uri.to_owned(), sha256OfModel: sha256 };
    chain.send(chain.deployment().pools, call).await?;
    Ok(params.id())
}

pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::Create(args) => {
            let (chain, _) = args.network.connect().await?;
            let text = std::fs::read_to_string(&args.params)
                .wrap_err_with(|| format!("can't read {}", args.params.display()))?;
            let model = Model::open(&args.model).wrap_err_with(|| format!("{}", args.model.display()))?;
            let params = params(&text, &chain, args.token, model.root())
                .wrap_err_with(|| format!("{}", args.params.display()))?;
            let id = create(&chain, &params, &args.uri, &std::fs::read(&args.model)?).await?;
            println!("{id}");
        }
        Command::Show(args) => {
            let chain = args.chain.connect().await?;
            let found = chain.call(chain.deployment().pools, abi::Pools::getCall { pool: args.pool }).await?;
            let params: PoolParams = convert(&found);
            println!("{}", serde_json::to_string_pretty(&params)?);
            let d = chain.deployment();
            let known = |what: &str, address, own| {
                println!(
                    "{what} {}",
                    if address == own { "is this deployment's" } else { "is NOT known to this deployment" }
                );
            };
            known("arbiter", params.basis.arbiter, d.arbiter);
            known("beacon ", params.basis.beacon, d.beacon);
            known("token  ", params.basis.token, d.token);
        }
    }
    Ok(())
}
