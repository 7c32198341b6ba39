"""Routes are made once: by their routers, with all that they depend on."""

from fastapi import FastAPI
from fastapi.routing import APIRoute

from api import app, pages
from api.edge import query


def test_the_application_serves_the_routes_that_the_routers_made(application: FastAPI) -> None:
    made = {id(route) for router in app.ROUTERS for route in router.routes}
    assert made <= {id(route) for route in application.routes}


def test_every_route_but_those_of_pages_refuses_parameters_that_it_does_not_know() -> None:
    routes = [route for router in app.ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    unchecked = {
        route.path
        for route in routes
        if not any(inner.call is query.must_be_known for inner in route.dependant.dependencies)
    }
    assert unchecked == {route.path for router in pages.ROUTERS for route in router.routes}
