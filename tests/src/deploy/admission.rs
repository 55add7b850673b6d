//! A `ValidatingAdmissionPolicy`, judged the way that the API server does, by another implementation of CEL.
//!
//! The server also checks the types of expressions, by the API's schema; that is not done here.

use std::collections::HashMap;

use anyhow::{Context as _, Result, anyhow, bail};
use cel::{Context, Program, Value as Cel};
use serde_json::{Value, json};

/// What is asked of the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// A change of one.
    Update,
}

impl Operation {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
        }
    }
}

/// The compiled policy.
#[derive(Debug)]
pub struct AdmissionPolicy {
    variables: Vec<(String, Program)>,
    /// Each with the message for those it refuses.
    validations: Vec<(Program, String)>,
}

impl AdmissionPolicy {
    /// Compiles every expression of `policy`.
    pub fn compile(policy: &Value) -> Result<Self> {
        let list = |path| policy.pointer(path).and_then(Value::as_array).into_iter().flatten();
        let variables = list("/spec/variables").map(|one| Ok((text(one, "name")?, program(one)?)));
        let validations =
            list("/spec/validations").map(|one| Ok((program(one)?, text(one, "message")?)));
        Ok(Self {
            variables: variables.collect::<Result<_>>()?,
            validations: validations.collect::<Result<_>>()?,
        })
    }

    /// The messages of every validation that refuses `object`; `old` is what it was before an update. An expression
    /// that fails is an error here: the server would refuse, but not say why.
    pub fn refusals(
        &self,
        operation: Operation,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<Vec<String>> {
        let mut context = Context::default();
        let request = json!({"operation": operation.as_str()});
        for (name, value) in
            [("object", object), ("oldObject", old.unwrap_or(&Value::Null)), ("request", &request)]
        {
            context.add_variable(name, value).map_err(|error| anyhow!("{name}: {error}"))?;
        }
        let mut variables: HashMap<String, Cel> = HashMap::new();
        for (name, program) in &self.variables {
            // As they are, for the next one to use.
            context.add_variable_from_value("variables", variables.clone());
            let value = program.execute(&context);
            variables.insert(name.clone(), value.with_context(|| format!("variable {name}"))?);
        }
        context.add_variable_from_value("variables", variables);
        let mut refusals = Vec::new();
        for (program, message) in &self.validations {
            match program.execute(&context).with_context(|| message.clone())? {
                Cel::Bool(true) => {}
                Cel::Bool(false) => refusals.push(message.clone()),
                other => bail!("`{message}`: its expression gives {other:?}"),
            }
        }
        Ok(refusals)
    }
}

fn program(one: &Value) -> Result<Program> {
    let expression = text(one, "expression")?;
    Program::compile(&expression).map_err(|error| anyhow!("{expression}: {error}"))
}

fn text(value: &Value, key: &str) -> Result<String> {
    let found = value.get(key).and_then(Value::as_str);
    Ok(found.with_context(|| format!("no {key} in {value}"))?.to_owned())
}
